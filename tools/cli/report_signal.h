// SIGUSR1 as a question: where does the time go? The run answers at its next batch and goes on.
#pragma once

namespace imgpack::cli {

void catch_report_signal();  // Once, before the run; without it SIGUSR1 ends the program.
bool take_report_request();  // Whether the signal has come since the last call. Thread-safe, cheap.

}  // namespace imgpack::cli
