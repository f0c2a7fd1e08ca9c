"""A partitioned durable log between the doors and the database, for when one machine is outgrown.

    seam        what a log is, how arrivals become records, which partition is whose
    choice      which log the settings choose
    jetstream   NATS JetStream
    kafka       Kafka
    front       the doors' end: an acknowledgement leaves when the log has the message
    worker      the database's end: rows and the position in the log in one transaction

Without `MEANTIME_JETSTREAM__URL` and `MEANTIME_KAFKA__SERVERS` none of this runs: then the database is the log.
"""
