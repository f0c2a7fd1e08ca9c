-- One row per reading, for people and Grafana. Bound `ts` (and `device_id`) in what you ask: the table is large.
create or replace view ingest.reading as
select t.ts, t.device_id, m.name as metric, v.value, m.unit
from ingest.telemetry t
join ingest.shape s on s.id = t.shape_id
join ingest.device d on d.id = t.device_id
cross join lateral unnest(s.metrics, t."values") as v(name, value)
join ingest.metric m on m.model = d.model and m.name = v.name
where v.value <> 'NaN';
