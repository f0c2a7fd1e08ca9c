"""Whether a repair held, as the API and the order's page say it."""

from __future__ import annotations

from kit.database import connect, one
from tests.api.conftest import Installation


def test_an_order_says_after_how_many_operating_hours_its_signal_was_back_or_that_it_was_not(
    installation: Installation,
) -> None:
    scene, office = installation.scene, installation.logged_in("manager")
    path = f"/api/orders/{scene.settled}"
    assert office.get(path).json()["recovery"] == []
    with connect(installation.dsn) as conn:
        reset = one(
            conn,
            """select r.* from analytics.reset r join fsm.work_order o on o.device_id = r.device_id
                   and split_part(r.reason, ' ', 1) = o.number where o.id = %s""",
            (scene.settled,),
        )
        assert reset is not None, "the repair told analytics of itself"
        conn.execute(
            """insert into analytics.recovery (reset_id, failure_mode, device_id, raise_id, repaired_at, hours, state,
                   look_at, decided_ts, run_hours, figures)
               select %s, 'bearing_wear', %s, min(id), %s, 48, 'not_recovered', %s, %s, 48.5,
                   '{"vibration": {"mean": 5.4, "level": 3.9}}' from analytics.detection""",
            (reset["id"], reset["device_id"], *[reset["ts"]] * 3),
        )
        conn.execute("update fsm.work_order set repeat_of = %s where id = %s", (scene.settled, scene.new))
        conn.execute("update fsm.work_order set failure_mode = 'bearing_wear' where id = %s", (scene.new,))
    (told,) = office.get(path).json()["recovery"]
    assert (told["state"], told["run_hours"], told["within_hours"]) == ("not_recovered", 48.5, 48)
    assert told["repeat_id"] == scene.new
    page = installation.browser("manager").get(f"/orders/{scene.settled}").text
    assert "not back to normal after 48 operating hours" in page
    assert "Bearing vibration: mean 5.4 mm/s, must come back to 3.9 mm/s" in page
    assert f"/orders/{scene.new}" in page
