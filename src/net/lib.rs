//! libp2p adapter: the swarm, transports, gossip, discovery; drives dht
