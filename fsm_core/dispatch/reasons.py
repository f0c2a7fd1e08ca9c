"""Why a job cannot be planned, or not with somebody: the rule that binds, as a code and in both languages."""

from __future__ import annotations

from dataclasses import replace

from fsm_core.dispatch.cost import missing_parts, missing_skills
from fsm_core.dispatch.draft import Draft
from fsm_core.dispatch.model import Job, Problem, Reason, Technician

CODES = ("provider", "skill", "parts", "calendar", "window", "overlap")
"""In the order they are checked; a later one means that the job came closer to being planned. Another one,
`urgency`, is given when the job could be had, but at too high a price."""

PROVIDER = "provider:"
"""A routed order asks for the skill `provider:<id>`, which only that provider's technicians have."""


def of_job(draft: Draft, job: Job) -> Reason:
    """Why nobody can take the job besides what the draft holds: the reason of whoever comes closest."""
    if job.ready_from is None:
        return _not_ready(job)
    if not draft.problem.technicians:
        return Reason("calendar", "There is no technician", "没有工程师")
    if draft.cheapest(job) is not None:
        return Reason("urgency", "Taking it would delay more urgent orders", "承接此单将延误更紧急的工单")
    known: list[Reason] = []
    for technician in draft.problem.technicians:
        known.append(against(draft, technician, job))
        if known[-1].code == CODES[-1]:
            break
    code = max((reason.code for reason in known), key=CODES.index)
    detail = next(reason.detail for reason in known if reason.code == code)
    return _for_all(job, code, dict(detail))


def of_technician(draft: Draft, technician: Technician, job: Job) -> Reason | None:
    """Why this technician cannot take the job besides what the draft holds; None when he can."""
    if draft.cheapest(job, [technician]) is not None:
        return None
    return against(draft, technician, job)


def against(draft: Draft, technician: Technician, job: Job) -> Reason:
    """The first rule that stands against a technician who cannot."""
    if job.ready_from is None:
        return _not_ready(job)
    lacking = sorted(missing_skills(technician, job))
    if any(skill.startswith(PROVIDER) for skill in lacking):
        return Reason("provider", "Does not belong to the order's provider", "不属于该工单的服务商")
    if lacking:
        text = ", ".join(lacking)
        return Reason("skill", f"Has not the skill: {text}", f"缺少技能：{text}", {"skills": lacking})
    if short := missing_parts(draft.problem, technician, job):
        return _short(short)
    return _time(draft, technician, job)


def _time(draft: Draft, technician: Technician, job: Job) -> Reason:
    """Skill and parts are there: calendar, window, stock that others take, or their visits?"""
    if not _fits_alone(draft.problem, technician, replace(job, window=(None, None), pin=None)):
        text = f"No shift has room for {job.minutes} minutes of work and the way"
        return Reason(
            "calendar", text, f"没有班次能容纳 {job.minutes} 分钟工作及路程", {"minutes": job.minutes}
        )
    if not _fits_alone(draft.problem, technician, replace(job, pin=None)):
        return Reason("window", "Cannot begin within the agreed time", "无法在约定时间内开始")
    if not draft.has_stock(technician, job):
        return Reason("parts", "Other orders of this plan need the parts", "配件已分配给其他工单")
    return Reason("overlap", "Other visits leave no room", "与其他上门任务冲突")


def _fits_alone(problem: Problem, technician: Technician, job: Job) -> bool:
    """Whether the technician could take the job if he had nothing else to do."""
    alone = Problem([technician], [job], problem.travel, problem.warehouse, problem.weights)
    return Draft(alone).cheapest(job) is not None


def _not_ready(job: Job) -> Reason:
    parts = ", ".join(sorted(job.parts)) or "?"
    return Reason("parts", f"Parts are short: {parts}", f"缺少配件：{parts}", {"parts": sorted(job.parts)})


def _short(short: dict[str, float]) -> Reason:
    text = ", ".join(f"{part} × {quantity:g}" for part, quantity in sorted(short.items()))
    return Reason("parts", f"Parts are short: {text}", f"缺少配件：{text}", {"short": short})


def _for_all(job: Job, code: str, detail: dict[str, object]) -> Reason:
    skills = ", ".join(sorted(job.skills))
    en, zh = {
        "provider": ("The order's provider has no technician", "该工单的服务商没有工程师"),
        "skill": (f"Nobody has learned all of: {skills}", f"没有工程师具备技能：{skills}"),
        "parts": ("The parts are short everywhere", "各处配件均不足"),
        "calendar": (
            f"No qualified technician has a shift with room for {job.minutes} minutes and the way",
            f"合格工程师的班次均无法容纳 {job.minutes} 分钟工作及路程",
        ),
        "window": (
            "No qualified technician can begin within the agreed time",
            "合格工程师均无法在约定时间内开始",
        ),
        "overlap": ("All qualified technicians are booked", "合格工程师均已排满"),
    }[code]
    return Reason(code, en, zh, detail)
