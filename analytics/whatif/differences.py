"""What a backtest knowingly does otherwise than live did, told with its result. SQL reads; never commits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from kit.database import Conn, one


@dataclass(frozen=True)
class Difference:
    """One, by its code, in both languages."""

    code: str
    text_en: str
    text_zh: str


def of(
    conn: Conn, start: datetime, end: datetime, warmup: timedelta, *, predictions: bool
) -> list[Difference]:
    """Those that hold for a period; none where the run is what live was."""
    found = one(
        conn,
        """select (select count(*) from analytics.tuning where changed_at > %(since)s and changed_at < %(until)s)
                      as tunings,
                  (select exists (select from ingest.batch where first_ts < %(since)s)) as before,
                  (select count(*) from analytics.detection where rule = 'recovery' and kind = 'raise'
                   and ts >= %(start)s and ts <= %(until)s) as recoveries,
                  (select count(*) from analytics.reset r where r.ts >= %(since)s and r.ts <= %(until)s
                   and not exists (select from analytics.known_reset k where k.reset_id = r.id)) as unknown""",
        {"since": start - warmup, "start": start, "until": end},
    )
    assert found is not None
    days = warmup / timedelta(days=1)
    told = [
        (found["before"], "fresh_baselines",
         f"Both sides learn the baselines anew, from {days:g} days before the period; live knew the devices longer.",
         f"两侧的基线均从期间开始前 {days:g} 天重新学习；实时运行时对设备的了解更久。"),
        (found["tunings"], "rules_changed",
         f"The rules were changed {found['tunings']} times in this time; the side “in force” uses today's throughout.",
         f"此期间规则更改过 {found['tunings']} 次；“现行”一侧全程使用当前规则。"),
        (found["recoveries"], "recovery",
         f"{found['recoveries']} findings after a repair (rule recovery) are not played again.",
         f"{found['recoveries']} 个维修后的发现（规则 recovery）不重放。"),
        (found["unknown"], "repairs_unknown",
         f"{found['unknown']} repairs have not reached detection yet and close no alarm here.",
         f"{found['unknown']} 次维修尚未进入检测，在此不关闭任何报警。"),
        (predictions, "predictions",
         "Failure models see rows as they had come 15 minutes after each step; repairs count from their own time, and "
         "what came more than 30 days late counts as imported, at its time.",
         "故障模型只看到每一步之后 15 分钟内到达的数据；维修按其自身时间计入；"
         "迟到 30 天以上的数据视为导入数据，按其时间计入。"),
    ]  # fmt: skip
    return [Difference(code, english, chinese) for holds, code, english, chinese in told if holds]
