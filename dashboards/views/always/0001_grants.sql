grant usage on schema reports, ingest, analytics, fsm to meantime_reports;
grant usage on schema reports to meantime_fsm, meantime_ingest, meantime_analytics, meantime_api;
grant select on all tables in schema reports to meantime_reports, meantime_fsm, meantime_ingest, meantime_analytics, meantime_api;
