"""What transfer learning really gained, and whether distance foretold it."""
