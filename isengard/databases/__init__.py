"""SQLite and PostgreSQL as this service wants them: nobody waits for ever, and what broke is opened anew."""
