"""What people see: the gateway, the wall, the desk, the phone, accounts, and the `ioc` command."""
