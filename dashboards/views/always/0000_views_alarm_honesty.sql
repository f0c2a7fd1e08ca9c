-- Every raise and what came of it: the order that its episode opened or joined, and what the engineer found.
-- verdict: right (the cause of the order's failure mode was found and removed), other (the order was for another mode),
-- false (no fault found, or the order was cancelled with nothing done), undecided (not finished yet),
-- information (severity 4), no_order (suppressed or ignored; `outcome` and `decided_by` say why).
-- lead_hours: from the raise to the breakdown, or, where it was prevented, to the beginning of the work: at least so long.
create view reports.alarm_honesty as
select d.id as detection_id, d.device_id, v.uid, v.model, v.site_id, d.rule, d.rule_version, d.failure_mode,
       f.component, d.severity, d.score, d.ts as raised_at, c.ts as cleared_at, s.outcome, s.rule as decided_by,
       o.id as order_id, o.number, o.type, o.state, o.cause_code, w.verdict,
       case when w.verdict = 'right' then
           greatest(extract(epoch from case when o.type = 'repair' and o.source <> 'automatic' then o.fault_at
                                            else coalesce(u.started_at, u.done_at) end - d.ts) / 3600, 0) end as lead_hours
from analytics.detection d join reports.device v using (device_id)
left join ingest.failure_mode f on f.model = v.model and f.code = d.failure_mode
left join fsm.episode_signal s on s.detection_id = d.id
left join fsm.episode e on e.id = s.episode_id
left join fsm.work_order o on o.id = coalesce(s.order_id, e.order_id)
left join reports.order_funnel u on u.order_id = o.id
left join lateral (
    select min(x.ts) as ts from analytics.detection x
    where x.device_id = d.device_id and x.failure_mode = d.failure_mode and x.kind = 'clear'
      and x.rule in (d.rule, 'reset') and x.ts >= d.ts and x.id > d.id) c on true
cross join lateral (
    select case when d.severity = 4 then 'information' when o.id is null then 'no_order'
                when o.state = 'cancelled' or o.cause_code = 'no_fault_found' then 'false'
                when o.cause_code is null or u.done_at is null then 'undecided'
                when o.failure_mode is distinct from d.failure_mode then 'other' else 'right' end as verdict) w
where d.kind = 'raise';
