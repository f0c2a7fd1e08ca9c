grant usage on schema ingest to meantime_ingest, meantime_analytics, meantime_fsm, meantime_reports, meantime_api;
grant select, insert, update, delete on all tables in schema ingest to meantime_ingest;
grant select on all tables in schema ingest to meantime_analytics, meantime_fsm, meantime_reports;
