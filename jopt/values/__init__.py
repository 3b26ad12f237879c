"""The pair as a value: a factory with its arguments bound, numbers apart from structure, schedules, errors."""
