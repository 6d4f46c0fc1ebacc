"""The cockpit: what the admin pages show above single rows. What belongs to one app's rows is in that app's `admin`."""
