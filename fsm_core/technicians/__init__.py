"""Engineers as a resource: working time, absences, position, workload."""
