"""What transfer learning really gained, and whether distance predicted it."""
