"""Many jobs of both kinds under seeded faults, and an auditor that looks at what is left from outside."""
