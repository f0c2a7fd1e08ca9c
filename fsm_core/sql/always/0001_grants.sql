grant usage on schema fsm to meantime_fsm, meantime_reports, meantime_api;
grant select, insert, update, delete on all tables in schema fsm to meantime_fsm;
grant select on all tables in schema fsm to meantime_reports;
-- The API process acts for users: it runs the verbs of ingest and of the field-service core.
grant meantime_fsm to meantime_api;
grant meantime_ingest to meantime_api;
