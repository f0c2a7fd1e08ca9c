grant usage on schema analytics to meantime_analytics, meantime_fsm, meantime_reports, meantime_api;
grant select, insert, update, delete on all tables in schema analytics to meantime_analytics;
grant select on all tables in schema analytics to meantime_fsm, meantime_reports;
grant insert on analytics.reset to meantime_fsm;
