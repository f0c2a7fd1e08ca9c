create or replace function kit.now() returns timestamptz language sql stable parallel safe as
$$ select sim_anchor + (clock_timestamp() - wall_anchor) * rate from kit.clock $$;

-- For a statement-level trigger: wake the followers of a fact table. The payload is empty so that
-- many inserts of one transaction are one notification.
create or replace function kit.wake() returns trigger language plpgsql as
$$ begin perform pg_notify(tg_table_schema || '.' || tg_table_name, ''); return null; end $$;

grant usage on schema kit to public;
grant select on all tables in schema kit to meantime_ingest, meantime_analytics, meantime_fsm, meantime_reports;
grant select, insert, update, delete on kit.follower, kit.failed_fact, kit.process, kit.state
    to meantime_ingest, meantime_analytics, meantime_fsm;
