"""The page of a sweep of students by teachers: the law of capacity gap (METHOD 8)."""
