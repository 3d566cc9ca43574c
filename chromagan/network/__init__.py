"""The network and its objective: configuration, trunk, decoders, generator, critic, losses. Imports imaging."""
