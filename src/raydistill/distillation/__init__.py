"""What a student learns from: losses, teachers, their answers online and cached."""
