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

-- What-if: a stored period under other rules, worked on in the background (analytics/whatif/). One that is running
-- has a session that holds the advisory lock (classid hashtext('analytics.backtest'), objid id); a running row without
-- one was interrupted and is taken again.
create table analytics.backtest (
    id           int generated always as identity primary key,
    created_by   text not null check (created_by <> ''),
    created_at   timestamptz not null default kit.now(),
    title        text not null default '',
    period_from  timestamptz not null,
    period_to    timestamptz not null,
    rules        jsonb not null,                -- all that differs from the defaults
    costs        jsonb not null,                -- by device type: {failure, visit, needless}; others as stored
    train_from   timestamptz,                   -- failure models of the tried side are learned from then to period_from
    state        text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    progress     double precision not null default 0 check (progress between 0 and 1),
    attempts     int not null default 0,
    cancelled_by text,
    finished_at  timestamptz,
    seconds      double precision,              -- real time that the last attempt took
    error        text,
    result       jsonb,                         -- see analytics/whatif/result.py
    check (period_from < period_to),
    check (train_from < period_from),
    check ((state = 'done') = (result is not null)),
    check ((state = 'failed') = (error is not null))
);
create index on analytics.backtest (id) where state in ('queued', 'running');
