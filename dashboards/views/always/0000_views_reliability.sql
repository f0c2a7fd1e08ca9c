-- Reliability: MTBF, repair and down times, renewals. analytics/reliability/ says what each means and computes what SQL
-- cannot (Weibull, survival, growth); the console and the API read the same rows.

-- How much of [since, until] has passed at a moment, 0 to 1.
create function reports.part(at timestamptz, since timestamptz, until timestamptz) returns double precision
language sql immutable parallel safe as $$
    select case when at <= since then 0 when at >= until then 1
                else extract(epoch from at - since) / extract(epoch from until - since) end $$;

-- Operating hours a device had run in all at a moment, whatever its counter showed: those of the days before, and of
-- the day itself as much as has passed between its first and last counted reading. Null: it never reported.
create function reports.life_at(device int, at timestamptz) returns double precision
language sql stable parallel safe as $$
    with first as materialized (
        select h.day, h.first_ts from ingest.run_hours_day h where h.device_id = device order by h.day limit 1),
    known as materialized (   -- the first day with a counted reading: life before it is life_at = before
        select h.day, h.life - h.counted as before from ingest.run_hours_day h
        where h.device_id = device and h.life is not null order by h.day limit 1),
    today as materialized (select (at at time zone 'UTC')::date as day),
    newest as materialized (   -- counting goes on from the newest day before with a counted reading
        select h.day, h.life + h.hours - h.counted as life from ingest.run_hours_day h
        where h.device_id = device and h.life is not null
          and h.day < (at at time zone 'UTC')::date   -- not today.day: the index would not be searched by it
        order by h.day desc limit 1)
    select coalesce(newest.life, known.before - coalesce((
               select sum(h.hours) from ingest.run_hours_day h where h.device_id = device and h.day < known.day), 0), 0)
           + coalesce((select sum(h.hours) from ingest.run_hours_day h
                       where h.device_id = device and h.day < today.day and h.day > coalesce(newest.day, '-infinity')), 0)
           + coalesce((
               select case when h.ts is null then h.hours * reports.part(at, x.begins, x.ends)
                           else h.counted * reports.part(at, x.begins, h.ts)
                                + (h.hours - h.counted) * reports.part(at, h.ts, x.ends) end
               from ingest.run_hours_day h cross join lateral (
                   select h.day::timestamp at time zone 'UTC' as midnight) m cross join lateral (
                   select case when h.day = first.day then coalesce(h.first_ts, m.midnight) else m.midnight end as begins,
                          m.midnight + interval '1 day' as ends) x
               where h.device_id = device and h.day = today.day), 0)
    from first cross join today left join known on true left join newest on true $$;

-- The same told by the moment's day alone, to be joined for many moments at once; `first_ts`: of the device's first
-- counted reading. Null: no counted reading fell on that day; then life_at asks the days around it.
create function reports.life_on(at timestamptz, first_ts timestamptz, day ingest.run_hours_day)
returns double precision language sql immutable parallel safe as $$
    select day.life - day.counted
           + day.counted * reports.part(at, greatest(day.day::timestamp at time zone 'UTC', first_ts), day.ts)
           + (day.hours - day.counted)
             * reports.part(at, day.ts, (day.day + 1)::timestamp at time zone 'UTC') $$;

-- The 5 % or 95 % quantile of the chi-square distribution with 2r degrees of freedom. For even degrees it is a
-- Poisson sum, solved by bisection; from r = 50 on Wilson and Hilferty's approximation is as good.
create function reports.chi_square(r bigint, p double precision) returns double precision
language plpgsql immutable parallel safe as $$
declare
    z constant double precision := case p when 0.95 then 1.6448536269514722 when 0.05 then -1.6448536269514722 end;
    below double precision := 0;
    above double precision := 2 * r + 30 + 10 * sqrt(r);
    middle double precision; term double precision; tail double precision;
begin
    if r >= 50 then
        return 2 * r * power(1 - 1 / (9.0 * r) + z * sqrt(1 / (9.0 * r)), 3);
    end if;
    for step in 1..50 loop
        middle := (below + above) / 2;
        term := exp(-middle / 2);
        tail := term;
        for i in 1..r - 1 loop
            term := term * middle / 2 / i;
            tail := tail + term;
        end loop;
        if 1 - tail < p then below := middle; else above := middle; end if;
    end loop;
    return (below + above) / 2;
end $$;

-- Pooled operating hours ÷ failures over a period, with a 90 % interval (time-terminated test). Devices that never
-- failed count with their hours; maintenance and inspections are no failures. `by` says what `key` is.
create function reports.mtbf_between(since timestamptz, until timestamptz)
returns table ("by" text, model text, key text, name_en text, name_zh text, devices bigint, hours double precision,
               failures bigint, breakdowns bigint, mtbf double precision, low double precision,
               high double precision, order_ids bigint[])
language sql stable security definer set search_path = pg_catalog as $$   -- Grafana may call it, not read below it
    with ran as (
        select v.device_id, v.model, v.site_id,
               coalesce(reports.life_at(v.device_id, until) - reports.life_at(v.device_id, since), 0) as hours
        from reports.device v),
    failed as (
        select * from reports.failure f where f.fault_at >= since and f.fault_at < until),
    model as (
        select r.model, count(*) as devices, sum(r.hours) as hours from ran r group by 1),
    counted as (
        select 'model' as by, m.model, m.model as key, n.name_en, n.name_zh, m.devices, m.hours, f.order_id, f.kind
        from model m join ingest.model n on n.code = m.model left join failed f on f.model = m.model
        union all
        select 'component', m.model, c.component, replace(c.component, '_', ' '), c.name_zh, m.devices, m.hours,
               f.order_id, f.kind
        from model m join (select x.model, x.component, string_agg(x.name_zh, '、' order by x.name_zh) as name_zh
                           from ingest.failure_mode x group by 1, 2) c on c.model = m.model
        left join failed f on f.model = m.model and f.component = c.component
        union all
        select 'failure_mode', m.model, c.code, c.name_en, c.name_zh, m.devices, m.hours, f.order_id, f.kind
        from model m join ingest.failure_mode c on c.model = m.model
        left join failed f on f.model = m.model and f.failure_mode = c.code
        union all
        select 'site', null, s.id::text, s.name, s.name, r.devices, r.hours, f.order_id, f.kind
        from (select site_id, count(*) as devices, sum(hours) as hours from ran group by 1) r
        join fsm.site s on s.id = r.site_id left join failed f on f.site_id = s.id),
    summed as (
        select c.by, c.model, c.key, c.name_en, c.name_zh, c.devices, c.hours, count(c.order_id) as failures,
               count(*) filter (where c.kind = 'breakdown') as breakdowns,
               coalesce(array_agg(c.order_id order by c.order_id) filter (where c.order_id is not null), '{}') as ids
        from counted c group by 1, 2, 3, 4, 5, 6, 7)
    select s.by, s.model, s.key, s.name_en, s.name_zh, s.devices, s.hours, s.failures, s.breakdowns,
           s.hours / nullif(s.failures, 0),
           case when s.failures > 0 then 2 * s.hours / reports.chi_square(s.failures + 1, 0.95)
                else s.hours / ln(10) end,   -- one-sided: nothing failed
           case when s.failures > 0 then 2 * s.hours / reports.chi_square(s.failures, 0.05) end, s.ids
    from summed s order by s.by, s.model, s.key $$;
create view reports.mtbf as select * from reports.mtbf_between('-infinity', 'infinity');

-- When a component became new, and whether by the repair of a failure. '*' (no component named) renews nothing.
create view reports.renewal as
select f.device_id, f.component, f.repaired_at as renewed_at, f.order_id, f.number, true as failed
from reports.failure f where f.component is not null and coalesce(f.remedy_code, '') <> 'inspect'
union all
select i.device_id, i.component, min(i.installed_at), i.order_id, o.number, false
from fsm.installed_part i join fsm.work_order o on o.id = i.order_id
where i.component <> '*' and not exists (select from reports.failure f where f.order_id = i.order_id)
group by i.device_id, i.component, i.order_id, o.number;

-- Finished work with its visits: hands on the machine (minutes), and since when the machine could not run.
create view reports.worked as
select m.*, s.minutes, case when m.kind = 'breakdown' then m.fault_at else s.working_at end as stopped_at
from reports.maintenance m cross join lateral (
    select nullif(sum(x.worked_minutes), 0) as minutes, min(x.working_at) as working_at
    from fsm.visit x where x.order_id = m.order_id) s;

-- While a machine could not run: a breakdown from the fault until it was done; other work from its beginning.
create view reports.stop as
select w.order_id, w.number, w.kind, w.device_id, w.uid, w.model, w.site_id, w.site, w.customer_id, w.stopped_at,
       w.done_at as restored_at, extract(epoch from w.done_at - w.stopped_at)::double precision / 3600 as down_hours
from reports.worked w where w.done_at > w.stopped_at;

-- How long a repair took: hands on the machine (repair_hours), from the fault until it was whole (restore_hours), and
-- for how long it could not run (down_hours: a prevented failure stops the machine only while it is worked on).
create view reports.mttr as
select f.order_id, f.number, f.kind, f.device_id, f.uid, f.model, f.site_id, f.site, f.component, f.failure_mode,
       f.mode_en, f.mode_zh, f.fault_at, f.opened_at, v.arrived_at, f.repaired_at, nullif(v.minutes, 0) / 60 as repair_hours,
       s.down_hours,
       extract(epoch from f.repaired_at - f.fault_at) / 3600 as restore_hours,
       extract(epoch from v.arrived_at - f.opened_at) / 3600 as response_hours, v.visits,
       v.visits = 1 and f.repeat_of is null and not exists (
           select from fsm.work_order again where again.repeat_of = f.order_id and again.state <> 'cancelled') as first_fix
from reports.failure f left join reports.stop s on s.order_id = f.order_id cross join lateral (
    select sum(x.worked_minutes) as minutes, min(x.on_site_at) as arrived_at,
           count(*) filter (where x.on_site_at is not null) as visits
    from fsm.visit x where x.order_id = f.order_id) v;
