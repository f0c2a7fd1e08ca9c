-- Grafana's login: reads the reports schema and nothing else. It can log in once it has a password
-- (dashboards/access.py).
do $$ begin create role meantime_grafana nologin; exception when duplicate_object or unique_violation then null; end $$;

grant usage on schema reports, ingest, analytics, fsm to meantime_reports;
grant usage on schema reports to meantime_fsm, meantime_ingest, meantime_analytics, meantime_api, meantime_grafana;
grant select on all tables in schema reports
    to meantime_reports, meantime_fsm, meantime_ingest, meantime_analytics, meantime_api, meantime_grafana;
grant select on kit.clock to meantime_grafana;   -- kit.now()
