"""What a whole account would have done: all its bots, one purse, one operator mode, the coordinator's rules and the caps."""
