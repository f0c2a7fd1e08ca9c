"""What must hold while everything breaks: stored = acknowledged, nothing twice.

python -m benchmarks.faults [--kills N] [--quick] [--only NAME …]

    stage     a cluster, doors and a broker as processes that can be killed
    devices   devices that send numbered messages and resend what was not acknowledged
    proxy     a network that cuts, stalls and drops
    kills     kill -9 of everything, also of JetStream's servers where they are installed
    weather   networks, disks, clocks, floods, late and shuffled streams
    herd      thousands of devices at once

One JSON line a case: sent, acknowledged, stored, duplicated, lost (acknowledged, but not stored). Exit code 1 when
anything was lost or stored twice. A broker killed between two autosaves loses what it had acknowledged: that is its
promise, not ours, so `kill_broker` counts it as `lost_by_broker`, and fails when a loss is older than the autosave.
"""
