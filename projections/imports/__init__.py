"""What is kept of imports: their state, their files, their faults and their records. No read model: no event has it."""
