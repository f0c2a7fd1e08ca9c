-- Telemetry belongs to meantime_ingest (see ingest/storage.py), which makes and drops its partitions; hence CREATE.
grant usage on schema ingest to meantime_ingest, meantime_analytics, meantime_fsm, meantime_reports, meantime_api;
grant create on schema ingest to meantime_ingest;
grant select, insert, update, delete on all tables in schema ingest to meantime_ingest;
grant usage on all sequences in schema ingest to meantime_ingest;  -- the batch takes its number before its row
grant select on all tables in schema ingest to meantime_analytics, meantime_fsm, meantime_reports;
revoke all on ingest.credential from meantime_analytics, meantime_fsm, meantime_reports;
