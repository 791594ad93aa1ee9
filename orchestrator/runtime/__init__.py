"""Where agents live, one file per runtime."""
