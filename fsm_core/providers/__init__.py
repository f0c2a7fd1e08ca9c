"""Service providers: partner firms with engineers of their own."""
