-- What whoever runs the product is to be told of, as figures: one row a sign and subject. The alert rules of Grafana and
-- of Prometheus (dashboards/alerts.py) and /metrics read the same rows. Wall-clock time, but for what devices date.

-- Facts that a follower has not handled, at most 10,000: the tables differ, so the query is made for each. It runs with
-- the rights of its owner, so whoever may read the figure needs no rights on the facts.
create function reports.facts_waiting(who text) returns bigint
language plpgsql stable security definer set search_path = pg_catalog as $$
declare at record; waiting bigint;
begin
    select f.source, f.xid, f.id into at from kit.follower f where f.name = who;
    if not found then return null; end if;
    execute format('select count(*) from (select from %s where (xid, id) > ($1, $2) limit 10000) w', at.source::regclass)
        into waiting using at.xid, at.id;
    return waiting;
end $$;

create view reports.watch as
with process as (
    select name, detail from kit.process_seen where alive    -- what a dead one said last is not so any more
), follower as (
    select name, updated_at, reports.facts_waiting(name) as waiting from kit.follower
), figure (sign, subject, value) as (
    select 'silent_seconds', name, age_seconds from kit.process_seen where alive or missed
    union all select 'lag_seconds', name, (detail->>'lag_ms')::float8 / 1000 from process where detail ? 'lag_ms'
    union all select 'buffer_fill', name, (detail->>'buffer')::float8 / nullif((detail->>'high_water')::float8, 0)
        from process where detail ? 'high_water'
    union all select 'connection_fill', name, (detail->>'connections')::float8 / (detail->>'max_connections')::float8
        from process where detail ? 'max_connections'
    union all select 'turned_away', name, (detail->>'turned_away')::float8 from process where detail ? 'turned_away'
    union all select 'log_records_gone', name, (detail->>'gone')::float8 from process where detail ? 'gone'
    union all select 'follower_waiting', name, waiting from follower
    union all select 'follower_stalled_seconds', name, case when waiting = 0 then 0 else
        extract(epoch from clock_timestamp() - updated_at) end from follower
    union all select 'facts_set_aside', follower, count(*) from kit.failed_fact
        where failed_at > clock_timestamp() - interval '1 day' group by 2
    union all select 'new_dead_letters', 'all doors', count(*) from ingest.dead_letter
        where replayed_at is null and received_at > kit.now() - interval '15 minutes'
    union all select 'dead_letters', 'all doors', letters from ingest.dead_letter_store
    union all select 'dead_letter_bytes', 'all doors', bytes from ingest.dead_letter_store
    union all select 'dead_letter_fill', 'all doors', bytes::float8 / most from ingest.dead_letter_store
    union all select 'new_refused_values', 'all devices', count(*) from ingest.quarantine
        where received_at > kit.now() - interval '15 minutes'
    union all select 'unknown_devices', 'all doors', count(*) from ingest.unknown_device
        where last_seen > kit.now() - interval '15 minutes'
    union all select 'broker_sessions_lost', broker || ' ' || client_id, lost from ingest.broker_session
        where lost > 0 and since > clock_timestamp() - interval '1 hour'
    union all select 'partition_days_ahead', 'telemetry', extract(epoch from max((regexp_match(
            pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz) - kit.now()) / 86400
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'ingest.telemetry'::regclass and c.relispartition having count(*) > 0
    union all select 'storage_bytes', 'telemetry', coalesce(sum(pg_total_relation_size(c.oid)), 0) from pg_class c
        where c.oid in (select inhrelid from pg_inherits where inhparent = 'ingest.telemetry'::regclass)
           or c.relnamespace = to_regnamespace('_timescaledb_internal') and c.relkind = 'r'
              and c.relname ~ '^compress_hyper_|_chunk_compressed$'   -- beside the chunk that was compressed
    union all select 'storage_bytes', 'database', pg_database_size(current_database())
)
select sign, subject, value::float8 as value from figure where value is not null;
