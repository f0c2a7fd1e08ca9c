-- What a state-changing request with an Idempotency-Key answered; written in the transaction of its effect,
-- so that a repeated request gets the same answer and has no second effect.
create table api.idempotency (
    user_id    int not null,
    key        text not null check (length(key) between 1 and 200),
    request    text not null,                  -- method, path and body hash: one key, one request
    body       jsonb,                          -- null while the first request runs
    created_at timestamptz not null default clock_timestamp(),
    primary key (user_id, key)
);
create index on api.idempotency (created_at);
