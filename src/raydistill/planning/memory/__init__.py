"""What a plan's trials hold on each device, what the device has, and what fits."""
