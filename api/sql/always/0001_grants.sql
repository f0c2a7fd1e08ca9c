grant usage on schema api to meantime_api;
grant select, insert, update, delete on all tables in schema api to meantime_api;
