-- µs since the Unix epoch as a time stamp, exactly; the writers pass times as integers.
create or replace function ingest.at(us bigint) returns timestamptz language sql immutable parallel safe as
$$ select timestamptz '1970-01-01 00:00+00' + us * interval '1 microsecond' $$;
