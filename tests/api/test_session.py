"""Logging in, staying in, being kept out."""

from __future__ import annotations

import re

import httpx
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from api import accounts
from api.accounts import FAILURES, Attempts
from api.security import Signer, session_secret
from kit.database import Conn, connect
from kit.errors import Forbidden, TooManyRequests, Unauthenticated
from kit.settings import Api, Settings
from tests.api.conftest import Installation


def csrf_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, "the page has no form"
    return found[1]


def test_a_token_answers_who_i_am(installation: Installation) -> None:
    me = installation.logged_in("manager").get("/api/me").json()["user"]
    assert (me["login"], me["role"]) == ("manager", "manager")
    assert "password_hash" not in me


@pytest.mark.parametrize("given", [("manager", "wrong"), ("nobody", "demo")])
def test_a_wrong_login_and_a_wrong_password_get_the_same_answer(
    installation: Installation, given: tuple[str, str]
) -> None:
    answer = installation.client().post("/api/login", json={"login": given[0], "password": given[1]})
    assert answer.status_code == 401
    assert answer.json() == {
        "error": "unauthenticated",
        "message": "Login or password is wrong.",
        "message_zh": "账号或密码错误。",
        "details": {},
    }


def test_without_a_token_the_api_answers_401_and_a_page_leads_to_the_login(
    installation: Installation,
) -> None:
    assert installation.client().get("/api/orders").status_code == 401
    page = installation.client().get("/orders?state=new", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2Forders%3Fstate%3Dnew")


def test_a_changed_token_is_refused(installation: Installation) -> None:
    body, mac = installation.token("manager").split(".")
    for forged in (f"{body}x.{mac}", f"{body}.{mac[:-2]}aa", body, "."):
        assert installation.client(forged).get("/api/me").status_code == 401


def test_an_expired_token_is_refused() -> None:
    signer = Signer(b"key")
    with pytest.raises(Unauthenticated, match="expired"):
        signer.read(signer.token(1, "mark", hours=-1))


def test_a_changed_password_ends_all_sessions(installation: Installation) -> None:
    client = installation.logged_in("finance")
    assert client.get("/api/me").status_code == 200
    with connect(installation.dsn, autocommit=True) as conn:
        conn.execute(
            "update fsm.user_account set password_hash = %s where login = 'finance'",
            (accounts.hasher().hash("other"),),
        )
    assert client.get("/api/me").status_code == 401


def test_a_form_by_cookie_needs_the_pages_token(installation: Installation) -> None:
    browser = installation.browser("dispatcher")
    path = f"/orders/{installation.scene.new}/do/hold"
    assert browser.post(path, data={"reason": "waiting_parts"}).status_code == 403
    assert browser.post(path, data={"reason": "waiting_parts", "csrf": "guess"}).status_code == 403
    token = csrf_of(browser.get("/orders"))
    refused = browser.post(
        path, data={"csrf": token, "reason": "waiting_parts"}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert refused.status_code == 403
    answer = browser.post(
        f"/orders/{installation.scene.new}/do/accept", data={"csrf": token, "back": "/orders"}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/orders")


def test_the_token_of_another_session_does_not_fit(installation: Installation) -> None:
    other = csrf_of(installation.browser("manager").get("/orders"))
    answer = installation.browser("dispatcher").post("/language", data={"csrf": other, "language": "zh"})
    assert answer.status_code == 403


def test_the_cookie_is_not_for_scripts_nor_for_other_sites(installation: Installation) -> None:
    answer = installation.client().post("/login", data={"login": "manager", "password": "demo"})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


def test_a_form_never_redirects_to_another_site(installation: Installation) -> None:
    for target in ("https://evil.example/", "//evil.example", "/\\evil.example"):
        data = {"login": "manager", "password": "demo", "next": target}
        assert installation.client().post("/login", data=data).headers["location"] == "/"


def test_ten_failures_close_a_login_for_a_while() -> None:
    attempts = Attempts()
    for _ in range(FAILURES):
        attempts.check("manager", "1.2.3.4")
        attempts.failed("manager", "1.2.3.4")
    with pytest.raises(TooManyRequests):
        attempts.check("manager", "1.2.3.4")
    attempts.check("manager", "5.6.7.8")
    attempts.check("finance", "1.2.3.4")


def test_the_limit_answers_429(installation: Installation) -> None:
    client = installation.client()
    wrong = {"login": "reliability", "password": "wrong"}
    assert [client.post("/api/login", json=wrong).status_code for _ in range(FAILURES + 1)] == [
        401
    ] * FAILURES + [429]


def _account(conn: Conn, *, demo: bool) -> None:
    conn.execute(
        """insert into fsm.user_account (login, name, password_hash, role, is_demo)
           values ('boss', 'Boss', %s, 'manager', %s)""",
        (accounts.hasher().hash("secret"), demo),
    )


def test_production_refuses_demo_accounts(db: Conn) -> None:
    _account(db, demo=True)
    with pytest.raises(Forbidden, match="production"):
        accounts.log_in(db, Attempts(), "boss", "secret", "here", production=True)
    user, mark = accounts.log_in(db, Attempts(), "boss", "secret", "here", production=False)
    signer = Signer(b"key")
    claims = signer.read(signer.token(user.id, mark, 1))
    with pytest.raises(Unauthenticated):
        accounts.holder(db, claims, production=True)


def test_the_secret_is_made_once_and_kept(db: Conn, db_as: object) -> None:
    first = session_secret(db, Settings())
    assert len(first) == 32
    assert session_secret(db, Settings()) == first
    assert session_secret(db, Settings(api=Api(secret=SecretStr("own")))) == b"own"
    db.execute("update kit.state set value = %s where name = 'api_secret'", (Jsonb("ab" * 32),))
    assert session_secret(db, Settings()) != first


def test_a_page_that_is_not_there_is_told_in_the_language_of_who_asks(installation: Installation) -> None:
    with connect(installation.dsn, autocommit=True) as conn:
        conn.execute("update fsm.user_account set language = 'zh' where login = 'dispatcher'")
    for login, told in (("dispatcher", "页面或记录不存在"), ("admin", "There is no such page")):
        missing = installation.browser(login).get("/nothing")
        assert missing.status_code == 404
        assert told in missing.text
