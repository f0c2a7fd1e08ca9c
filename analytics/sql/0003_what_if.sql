-- What a failure, a planned visit and a needless one cost on a device type; the newest row of a model holds, none or
-- one without amounts is the defaults (analytics/costs.py). Rows are never changed: they are the history.
create table analytics.cost (
    id         int generated always as identity primary key,
    model      text not null references ingest.model,
    failure    double precision,                -- an unplanned failure, its repair included …
    visit      double precision,                -- … a planned repair in time …
    needless   double precision,                -- … a visit that found nothing wrong; in any one unit
    changed_by text not null check (changed_by <> ''),
    changed_at timestamptz not null default kit.now(),
    note       text not null default '',
    check (num_nulls(failure, visit, needless) in (0, 3)),
    check (visit > 0 and visit < failure and needless > 0)
);
create index on analytics.cost (model, id);
