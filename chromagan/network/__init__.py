"""The network and its objective: configuration, trunk, decoders, generator, critic and losses. Imports imaging."""
