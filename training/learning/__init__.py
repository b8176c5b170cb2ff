"""How a network learns: its start, the steps, the looks at what nobody learns from, the machine."""
