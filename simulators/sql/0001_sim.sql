-- What the simulator did to the machines. The product never reads it; scoring does.
create table sim.fault (
    id          bigint generated always as identity primary key,
    number      int not null,                  -- of the machine in its fleet
    uid         text not null,                 -- what it calls itself; it need not be provisioned yet
    mode        text not null,
    component   text not null,
    onset       timestamptz not null,          -- begins to show
    failure_at  timestamptz not null,          -- the machine stops unless it is repaired before
    shape       text not null check (shape in ('wear', 'sudden', 'silent')),
    repaired_at timestamptz,
    unique (uid, mode, onset),
    check (failure_at > onset)
);
