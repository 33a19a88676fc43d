"""What needs a chat model at every question: answers, and searches led by it."""
