// What ThreadSanitizer must not report: it cannot see the synchronisation inside libtbb, which is not compiled with it,
// and takes TBB's own hand-over of a task to a worker for a race. Only reports whose innermost frame is TBB's, or that
// of the pointer which decode_arenas.cc has it hand over, are dropped; everything that the tasks themselves touch stays
// checked.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race_top:oneapi/tbb/\nrace_top:decode_arenas.cc\ncalled_from_lib:libtbb.so\n";
}
