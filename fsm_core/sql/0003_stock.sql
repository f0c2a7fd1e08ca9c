-- Stock: an append-only ledger of quantity and value. Every move takes from one place and gives to another,
-- so all places of an item sum to zero; physical places never fall below zero.
create table fsm.location (
    id            int generated always as identity primary key,
    code          text not null unique,
    kind          text not null check (kind in ('warehouse', 'van', 'provider', 'customer', 'in_transit', 'defective',
                                                'installed', 'supplier', 'scrap', 'adjustment')),
    name          text not null,
    physical      boolean not null generated always as (kind in ('warehouse', 'van', 'provider', 'customer',
                                                                 'in_transit', 'defective')) stored,
    -- value here is the company's inventory
    valued        boolean not null generated always as (kind in ('warehouse', 'van', 'provider', 'customer',
                                                                 'in_transit')) stored,
    technician_id int unique references fsm.technician,   -- the van's
    provider_id   int references fsm.provider,
    latitude      double precision,
    longitude     double precision
);
-- The counterparts every installation has.
insert into fsm.location (code, kind, name) values
    ('SUPPLIER',   'supplier',   'Suppliers 供应商'),
    ('INSTALLED',  'installed',  'Installed on devices 已装机'),
    ('DEFECTIVE',  'defective',  'Old parts handed back 旧件'),
    ('TRANSIT',    'in_transit', 'In transit 在途'),
    ('SCRAP',      'scrap',      'Scrap 报废'),
    ('ADJUSTMENT', 'adjustment', 'Count differences 盘点差异');

create table fsm.stock_move (
    id            bigint generated always as identity primary key,
    part_id       int not null references fsm.part,
    from_location int not null references fsm.location,
    to_location   int not null references fsm.location,
    quantity      numeric(12,3) not null check (quantity > 0),
    unit_cost     numeric(18,4) not null check (unit_cost >= 0),   -- moving average, frozen
    value         numeric(18,4) not null check (value >= 0),
    verb          text not null check (verb in ('receive', 'issue', 'consume', 'return_unused', 'return_old',
                                                'transfer', 'adjust', 'write_off', 'reverse')),
    order_id      bigint references fsm.work_order,
    visit_id      bigint references fsm.visit,
    serial        text,
    occurred_at   timestamptz not null,        -- when it happened
    posted_at     timestamptz not null,        -- when it was booked
    actor         text not null,
    reverses      bigint unique references fsm.stock_move,
    check (from_location <> to_location)
);
create index on fsm.stock_move (order_id);
create index on fsm.stock_move (part_id, id);

create table fsm.stock_balance (
    location_id int not null references fsm.location,
    part_id     int not null references fsm.part,
    physical    boolean not null,
    on_hand     numeric(12,3) not null default 0,
    reserved    numeric(12,3) not null default 0,
    value       numeric(18,4) not null default 0,
    primary key (location_id, part_id),
    constraint never_below_zero check (not physical or on_hand >= 0),
    constraint value_is_there check (not physical or (value >= 0 and (on_hand > 0 or value = 0))),
    constraint reserved_is_there check (reserved >= 0 and (reserved = 0 or reserved <= on_hand))
);

create table fsm.reservation (
    id          bigint generated always as identity primary key,
    order_id    bigint not null references fsm.work_order,
    part_id     int not null references fsm.part,
    location_id int not null references fsm.location,
    quantity    numeric(12,3) not null check (quantity > 0),
    used        numeric(12,3) not null default 0 check (used >= 0 and used <= quantity),   -- issued or consumed of it
    state       text not null default 'open' check (state in ('open', 'used', 'released')),
    made_at     timestamptz not null,
    ended_at    timestamptz
);
create unique index one_open_reservation on fsm.reservation (order_id, part_id, location_id) where state = 'open';

create index on fsm.reservation (location_id, part_id) where state = 'open';

-- A serial number is in one place: the key is the rule.
create table fsm.serial (
    part_id     int not null references fsm.part,
    serial      text not null check (serial <> ''),
    location_id int not null references fsm.location,
    primary key (part_id, serial)
);

-- Goods on their way from one place to another.
create table fsm.transfer (
    id            bigint generated always as identity primary key,
    to_location   int not null references fsm.location,
    shipped_move  bigint not null unique references fsm.stock_move,
    received_move bigint unique references fsm.stock_move
);
create index on fsm.transfer (to_location) where received_move is null;

create or replace function fsm.refuse_change() returns trigger language plpgsql as
$$ begin raise exception '% is append-only: post a reversal instead', tg_table_name using errcode = '23001'; end $$;
create trigger append_only before update or delete on fsm.stock_move for each row execute function fsm.refuse_change();
create trigger append_only before update or delete on fsm.work_order_event
    for each row execute function fsm.refuse_change();
