"""What a device says, turned into features and detections; pure."""
