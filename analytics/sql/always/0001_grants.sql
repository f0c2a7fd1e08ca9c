grant usage on schema analytics to meantime_analytics, meantime_fsm, meantime_reports, meantime_api;
-- The API process acts for users: it changes rules and costs and asks for backtests.
grant meantime_analytics to meantime_api;
grant select, insert, update, delete on all tables in schema analytics to meantime_analytics;
grant select on all tables in schema analytics to meantime_fsm, meantime_reports;
grant insert on analytics.reset, analytics.failure to meantime_fsm;
