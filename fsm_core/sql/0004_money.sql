-- The currency the books are kept in; written by the first booking, never changed.
create table fsm.books (
    singleton boolean primary key default true check (singleton),
    currency  char(3) not null
);

create table fsm.account (
    code    text primary key,
    name_en text not null,
    name_zh text not null,
    kind    text not null check (kind in ('asset', 'liability', 'income', 'expense', 'equity'))
);
insert into fsm.account values
    ('receivable',       'Accounts receivable',          '应收账款',     'asset'),
    ('recovery',         'Warranty recovery receivable', '保修追偿应收', 'asset'),
    ('inventory',        'Inventory',                    '存货',         'asset'),
    ('work_in_progress', 'Work in progress',             '在制工单成本', 'asset'),
    ('cash',             'Cash',                         '现金',         'asset'),
    ('payable_provider', 'Payable to providers',         '应付服务商',   'liability'),
    ('payable_supplier', 'Payable to suppliers',         '应付供应商',   'liability'),
    ('accrued_labour',   'Labour absorbed',              '已分配人工',   'liability'),
    ('accrued_travel',   'Travel absorbed',              '已分配差旅',   'liability'),
    ('tax',              'Tax payable',                  '应交税费',     'liability'),
    ('deposits',         'Customer credit',              '客户预存',     'liability'),
    ('revenue',          'Service revenue',              '服务收入',     'income'),
    ('service_cost',     'Cost of service',              '服务成本',     'expense'),
    ('warranty_cost',    'Warranty cost',                '保修成本',     'expense'),
    ('goodwill_cost',    'Goodwill cost',                '善意维修成本', 'expense'),
    ('contract_cost',    'Contract service cost',        '合同服务成本', 'expense'),
    ('stock_difference', 'Stock differences',            '存货差异',     'expense');

-- Immutable and balanced: debit is positive, credit negative, an entry sums to zero per currency.
create table fsm.journal_entry (
    id          bigint generated always as identity primary key,
    key         text not null unique,          -- posting twice makes one entry
    kind        text not null,                 -- stock, settlement, receipt, payment, reversal
    order_id    bigint references fsm.work_order,
    customer_id int references fsm.customer,
    provider_id int references fsm.provider,
    occurred_at timestamptz not null,
    posted_at   timestamptz not null,
    reverses    bigint unique references fsm.journal_entry
);
create index on fsm.journal_entry (order_id);
create table fsm.journal_line (
    entry_id bigint not null references fsm.journal_entry,
    position int not null,
    account  text not null references fsm.account,
    amount   numeric(18,4) not null check (amount <> 0),
    currency char(3) not null,
    text     text not null default '',
    provider_id int references fsm.provider,   -- whose payable
    primary key (entry_id, position)
);
create index on fsm.journal_line (account);

create or replace function fsm.check_balance() returns trigger language plpgsql as $$
declare off record;
begin
    select currency, sum(amount) as total into off from fsm.journal_line
    where entry_id = new.entry_id group by currency having sum(amount) <> 0 limit 1;
    if found then
        raise exception 'journal entry % does not balance: % % too much', new.entry_id, off.total, off.currency
            using errcode = '23514';
    end if;
    return null;
end $$;
create constraint trigger balanced after insert on fsm.journal_line deferrable initially deferred
    for each row execute function fsm.check_balance();
create trigger append_only before update or delete on fsm.journal_line for each row execute function fsm.refuse_change();
create trigger append_only before update or delete on fsm.journal_entry for each row execute function fsm.refuse_change();

-- The settled order, line by line: what it cost, who pays how much.
create table fsm.settlement (
    order_id    bigint primary key references fsm.work_order,
    entry_id    bigint not null references fsm.journal_entry,
    currency    char(3) not null,
    cost        numeric(18,4) not null,
    net         numeric(18,4) not null,        -- billed to the customer, without tax
    tax         numeric(18,4) not null,
    gross       numeric(18,4) not null,
    settled_at  timestamptz not null,
    cost_currency char(3) not null,
    revision    int not null default 1         -- counts corrections; each has its own journal entries
);
create table fsm.settlement_line (
    order_id    bigint not null references fsm.settlement,
    position    int not null,
    line        text not null check (line in ('labour', 'travel', 'parts')),
    text_en     text not null,
    text_zh     text not null,
    quantity    numeric(12,3) not null,
    unit        text not null,
    unit_price  numeric(18,4) not null,
    amount      numeric(18,4) not null,        -- price before coverage
    covered_pct numeric(5,2) not null,
    billed      numeric(18,4) not null,        -- to the customer
    cost        numeric(18,4) not null,
    rule        text not null,                 -- the entitlement rule applied
    payer       text not null,                 -- who bears the covered share
    primary key (order_id, position)
);

-- Money in from a customer, or out to a provider. The reference makes a repeated notice one payment.
create table fsm.payment (
    id          bigint generated always as identity primary key,
    customer_id int references fsm.customer,
    provider_id int references fsm.provider,
    reference   text not null check (reference <> ''),
    amount      numeric(18,4) not null check (amount > 0),
    currency    char(3) not null,
    entry_id    bigint not null unique references fsm.journal_entry,
    reversed_by bigint unique references fsm.journal_entry,
    occurred_at timestamptz not null,
    actor       text not null,
    check ((customer_id is null) <> (provider_id is null)),
    unique (customer_id, reference),
    unique (provider_id, reference)
);
-- How much of a payment settles which order. Append-only: taking back is a negative row.
create table fsm.allocation (
    id         bigint generated always as identity primary key,
    payment_id bigint not null references fsm.payment,
    order_id   bigint not null references fsm.settlement,
    amount     numeric(18,4) not null check (amount <> 0),
    at         timestamptz not null
);
create index on fsm.allocation (payment_id);
create index on fsm.allocation (order_id);
create index on fsm.journal_line (provider_id) where provider_id is not null;
create trigger append_only before update or delete on fsm.allocation for each row execute function fsm.refuse_change();

-- What the customer has signed is never changed: a later edit is a new version.
create or replace function fsm.keep_signed() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' or old.signed_at is not null or (new.body, new.sha256) is distinct from (old.body, old.sha256) then
        raise exception 'version % of the report of order % stands: make a new version', old.version, old.order_id
            using errcode = '23001';
    end if;
    return new;
end $$;
create trigger keep_signed before update or delete on fsm.service_report
    for each row execute function fsm.keep_signed();
