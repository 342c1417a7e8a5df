"""Azure Cosmos DB for NoSQL, restored by the service itself from its continuous backup."""
