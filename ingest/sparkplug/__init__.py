"""Sparkplug B: edge nodes that speak for their devices in protobuf, with births, aliases and sequence numbers.

    schema      the message types, as descriptors built in code
    codec       payload ↔ bytes
    names       topics, and how group/edge/device and metric names become ours
    node        the state of an edge node: births, aliases, sequence, death
    memory      that state in the database
    translate   a batch of Sparkplug messages → our own JSON messages, or the reason why not

A Sparkplug message is translated into messages of ours (`<prefix>/<uid>/telemetry|fault|status`) before it is stored,
in the same transaction. So everything behind it is the same: registration, units, quarantine, dead letters; and what
lands in the dead letters can be replayed after the births it stood on are long gone.
"""
