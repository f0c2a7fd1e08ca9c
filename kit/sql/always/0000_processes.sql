-- The processes that are known, and whether one that is silent is missed: whoever asks how the family is (/readyz, the
-- console, the alert rules) asks here. An orderly stop removes its row, so a silent one has died, hangs, or lost its
-- machine. It is missed, and counts, until
--   it beats again, or
--   one of its role (`endpoint-2` is an `endpoint`) that was not known before has taken its place, one for one, or
--   it has been silent for an hour while others of its role are alive: then there are fewer of them than there were.
-- After a day it is forgotten.
create or replace view kit.process_seen as
with known as (
    select *, regexp_replace(name, '-\d+$', '') as role, clock_timestamp() - beat_at as silent from kit.process
    where beat_at > clock_timestamp() - interval '1 day'
), seen as (
    select *, silent < interval '20 seconds' as alive,  -- each beats every second or two
        row_number() over (partition by role, silent < interval '20 seconds' order by beat_at desc) as nth
    from known
)
select s.name, s.role, s.pid, s.started_at, s.beat_at, s.detail, s.alive,
    extract(epoch from s.silent)::float8 as age_seconds,
    not s.alive
        and s.nth > count(*) filter (where o.appeared_at > s.beat_at)
        and not (count(o.name) > 0 and s.silent > interval '1 hour') as missed
from seen s left join seen o on o.role = s.role and o.alive and not s.alive
group by s.name, s.role, s.pid, s.started_at, s.beat_at, s.detail, s.alive, s.silent, s.nth;
