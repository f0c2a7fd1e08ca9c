grant usage on schema sim to meantime_reports;
grant select on all tables in schema sim to meantime_reports;
