// maps_boost.cc - boost::pool under a mutex, for bench/maps, which loads it.

#include <mutex>
#include <boost/pool/pool.hpp>

static std::mutex mutex;
static boost::pool<> pool (64);

extern "C" void *
boost_take ()
{
  std::lock_guard<std::mutex> guard (mutex);
  return pool.malloc ();
}

extern "C" void
boost_give (void *block)
{
  std::lock_guard<std::mutex> guard (mutex);
  pool.free (block);
}
