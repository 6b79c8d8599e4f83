"""What Civitai's API says about models: read from files or fetched, and turned into records."""
